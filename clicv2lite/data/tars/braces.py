"""Brace patterns such as `shards/{000000..001499}.tar`, expanded as a shell would (book chapter 10)."""

from clicv2lite.errors import UserError

MOST = 100_000  # a pattern of more names is a typing mistake


def expand_braces(pattern: str) -> list[str]:
    """The names that a pattern stands for, in order; without braces, itself.

    >>> expand_braces("{a,b}-{08..10}.jpg")[:4]
    ['a-08.jpg', 'a-09.jpg', 'a-10.jpg', 'b-08.jpg']

    Raises:
        UserError: if there are more than `MOST`.
    """
    if "{" not in pattern:
        return [pattern]
    import bracex  # not above: most calls name files

    try:
        return bracex.expand(pattern, limit=MOST)
    except bracex.ExpansionLimitException:
        raise UserError(f"{pattern}: more than {MOST:,} files; check the numbers in the braces") from None
