"""The book's widgets. They work in JupyterLab, and in a static page without a kernel (book chapters 1 to 7, 9 and 14)."""

from clicv2lite.extras import extra

with extra("notebooks"):
    import anywidget as _anywidget  # noqa: F401
