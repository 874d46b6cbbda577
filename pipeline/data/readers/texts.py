"""Kinds of files that are no images, as messages name them, with what reads them.

Owns the words, by the ending of a file's name. Does not own when they are shown (`data/containers.py`,
`predict/pictures.py`) nor the other texts of the room (`data/texts.py`).
"""

from pipeline.core.language import _

READERS = {
    **dict.fromkeys(
        (".h5", ".hdf5", ".hdf"),
        (_("HDF5 files"), _("if one holds the images of the table, give it as IMAGES")),
    ),
    **dict.fromkeys(
        (".tfrec", ".tfrecord", ".tfrecords"),
        (_("TFRecord files"), _("the package tensorflow reads them: write their images as files")),
    ),
    **dict.fromkeys(
        (".nii", ".mha", ".nrrd"),
        (_("medical volumes"), _("the package nibabel or SimpleITK reads them: write their slices as PNG files")),
    ),
    **dict.fromkeys(
        (".svs", ".ndpi", ".mrxs", ".czi"),
        (_("whole-slide images"), _("the package openslide reads them: write tiles or a small level as PNG files")),
    ),
    **dict.fromkeys(
        (".heic", ".heif"), (_("HEIC photos"), _("the package pillow-heif reads them: write them as JPEG files"))
    ),
    **dict.fromkeys(
        (".cr2", ".nef", ".arw", ".dng", ".raf"),
        (_("raw photos"), _("the package rawpy reads them: write them as JPEG or PNG files")),
    ),
    **dict.fromkeys(
        (".mp4", ".avi", ".mov", ".mkv", ".webm"),
        (
            _("videos"),
            _("cv2.VideoCapture reads them: write frames as JPEG files, and keep frames of a video in one group"),
        ),
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"), (_("archives"), _("unpack them"))
    ),
    **dict.fromkeys(
        (".parquet", ".pq"),
        (_("Parquet tables"), _("if one holds the images of the table, give it as IMAGES")),
    ),
    **dict.fromkeys(
        (".feather",), (_("Feather tables"), _("pandas.read_feather reads them: write them with to_parquet"))
    ),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth"),
        (_("pickled objects"), _("load them only if you trust their source, and write their images as PNG files")),
    ),
    **dict.fromkeys((".bson",), (_("BSON files"), _("the package bson reads them: write their images as files"))),
    **dict.fromkeys(
        (".json", ".jsonl", ".xml"),
        (_("annotations in JSON or XML"), _("write a CSV with a row per image: id, path and label")),
    ),
    **dict.fromkeys(
        (".mat",), (_("MATLAB files"), _("scipy.io.loadmat reads them: write their images as PNG files"))
    ),
    **dict.fromkeys((".svg",), (_("vector drawings"), _("draw them as PNG files, e.g. with the package cairosvg"))),
    **dict.fromkeys(
        (".psd", ".jp2", ".j2k", ".exr", ".hdr", ".dds"),
        (_("images of a format that is not read"), _("convert them to PNG")),
    ),
}
