"""Exercises that check themselves; one module per chapter holds its exercises, :mod:`clicv2lite.exercises.exercise` the check.

In a chapter an exercise is a few cells, in this order (tests/notebooks/test_notebook_form.py holds every chapter to it):

1. Markdown: ``### Exercise 3.1: Why not roll?``, then a line ``*Warm-up · 5 minutes*`` (Warm-up, Practice, Challenge or Open),
   then the task.
2. Code with the tag ``exercise``, the stub: a function in which lines ``...  # your turn`` or ``x = ...  # your turn`` stand
   for what is missing.
3. Code with the tag ``check``: ``why_not_roll.check(my_shift)``, where ``why_not_roll`` is an ``Exercise`` of the chapter's
   module. Only an Open exercise may go without.
4. Code with the tags ``solution`` and ``hide-cell``: the stub with other lines in place of those marked ``# your turn``,
   nothing else changed, and where there is a check a last line ``assert why_not_roll.check(my_shift)``.
5. If there is something to see in it, Markdown that begins with ``*Solution above, folded.*``.
"""
