"""Prices of models: those of the configuration first, then the vendor's public price list."""

from functools import cache
from typing import Final

from monitor.core.providers import NO_CHARGE, PROVIDERS, Price, Provider

FREE: Final = Price(input=0.0, output=0.0)


def price_of(provider: Provider, model: str) -> Price | None:
    """USD per million tokens of ``model`` at ``provider``; ``None`` if unknown.

    With a ``base_url``, the vendor's price list does not apply, because the server is not the vendor's. Without an
    override or ``free: true``, its models are unpriced, and so are those of a kind without a price list.
    """
    override = provider.prices.get(model)
    if override is not None:
        return override
    price_list = PROVIDERS[provider.kind].price_list
    if provider.free or price_list == NO_CHARGE:
        return FREE
    if provider.server or price_list is None:
        return None
    return _listed(price_list, model)


def needs_price(provider: Provider) -> bool:
    """Whether calls without a price are refused even without a USD budget, because the kind has no price list."""
    return PROVIDERS[provider.kind].price_list is None


@cache
def _listed(vendor: str, model: str) -> Price | None:
    """The standard price, for prompts below the list's long-context tiers (200,000 tokens and more)."""
    # Imported here, because it takes 0.5 s. The package contains the list; nothing is downloaded.
    from genai_prices import Usage, calc_price

    try:
        price = calc_price(Usage(input_tokens=1000, output_tokens=1000), model, provider_id=vendor)
    except (LookupError, ValueError):
        return None
    return Price(input=float(price.input_price) * 1000, output=float(price.output_price) * 1000)


def cost(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """Cost of one call in USD."""
    return (price.input * prompt_tokens + price.output * completion_tokens) / 1e6
