"""Tracing by OpenTelemetry, if the setting ``tracing`` asks for it.

``tracing`` decides what is traced and is what the rest of the server knows; ``spans`` makes spans of what was noted;
``export`` sends them away. The last two import OpenTelemetry, which is an optional dependency, and only ``start`` imports
them, when tracing is on.
"""
