"""The book's widgets. They work in JupyterLab, and in a static page without a kernel (book chapters 1, 3, 4 and 5)."""

try:
    import anywidget as _anywidget  # noqa: F401
except ImportError:
    raise ImportError("clicv2lite.widgets: anywidget is not installed; pip install 'clicv2lite[book]'") from None
