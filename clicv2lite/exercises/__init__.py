"""Exercises that check themselves. Each chapter has one module; :mod:`clicv2lite.exercises.exercise` has the check.

In a chapter an exercise is a few cells in this order (tests/notebooks/test_notebook_form.py checks it):

1. Markdown: ``### Exercise 3.1: Why not roll?``, then a line ``*Warm-up · 5 minutes*`` (Warm-up, Practice, Challenge or Open),
   then the task.
2. Code with the tag ``exercise``, the stub: a function with lines ``...  # your turn`` or ``x = ...  # your turn`` in place of
   what the reader must write.
3. Code with the tag ``check``: ``why_not_roll.check(my_shift)``. ``why_not_roll`` is an ``Exercise`` in the chapter's module.
   Only an Open exercise may have no check.
4. Code with the tags ``solution`` and ``hide-cell``: the stub with the lines marked ``# your turn`` replaced and nothing else
   changed. If there is a check, the last line is ``assert why_not_roll.check(my_shift)``.
5. If the solution shows something interesting, Markdown that begins with ``*Solution above, folded.*``.
"""
