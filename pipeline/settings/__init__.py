"""Every setting: fields, defaults, ranges, rules, and reading them from YAML."""
