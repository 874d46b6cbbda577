"""A section of the error report on the page, as a reader gets it."""

import re

from analyze_cases import Case, compare_inputs

from pipeline.errors.page import analyze, render_html
from pipeline.pages.report import ReportSection


def page_of(section: ReportSection, made: Case) -> str:
    inputs = compare_inputs(made)
    return render_html(analyze(inputs), inputs, (section,))


def section_of(section: ReportSection, made: Case) -> str:
    """Its HTML alone."""
    found = re.search(rf'<section id="{section.anchor}">.*?</section>', page_of(section, made), re.DOTALL)
    assert found is not None
    return found[0]
