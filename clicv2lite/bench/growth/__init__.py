"""How time and memory grow with the amount of work: slopes on logarithmic axes, beside what theory says (book chapter 10)."""
