"""Evidence told as odds, for whoever reads a finding: sentences, pages and tables."""


def power(log10: float) -> str:
    """Evidence as odds that a reader can hold on to.

    >>> power(0.3), power(3.5623), power(12.2), power(-1.0)
    ('2 to 1', '3,650 to 1', '10^12 to 1', '1 to 10')
    """
    size = abs(log10)
    odds = f"10^{size:.0f}" if size >= 6 else f"{10**size:,.0f}"
    return f"{odds} to 1" if log10 >= 0 else f"1 to {odds}"
