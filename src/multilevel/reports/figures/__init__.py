"""The drawings of a report, one a file: functions from numbers to inline SVG."""
