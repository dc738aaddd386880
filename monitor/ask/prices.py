"""What a model's tokens cost: the configuration's own prices first, then the vendor's public price list."""

from functools import cache
from typing import Final

from monitor.core.settings import Price, Provider

FREE: Final = Price(input=0.0, output=0.0)

_VENDORS: Final = {"openai": "openai", "anthropic": "anthropic"}


def price_of(provider: Provider, model: str) -> Price | None:
    """USD per million tokens of ``model`` at ``provider``; ``None`` when it is not known.

    A ``base_url`` is somebody else's server: the vendor's price list says nothing about what it charges, so without
    an override or ``free: true`` its models are unpriced.
    """
    override = provider.prices.get(model)
    if override is not None:
        return override
    if provider.free or provider.kind not in _VENDORS:
        return FREE
    if provider.base_url is not None:
        return None
    return _listed(_VENDORS[provider.kind], model)


@cache
def _listed(vendor: str, model: str) -> Price | None:
    """The standard price, for prompts under the list's long-context tiers (200,000 tokens and more cost more there)."""
    # Here, because the import takes 0.5 s; the list comes inside the package, nothing is fetched.
    from genai_prices import Usage, calc_price

    try:
        price = calc_price(Usage(input_tokens=1000, output_tokens=1000), model, provider_id=vendor)
    except (LookupError, ValueError):
        return None
    return Price(input=float(price.input_price) * 1000, output=float(price.output_price) * 1000)


def cost(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """USD for one call."""
    return (price.input * prompt_tokens + price.output * completion_tokens) / 1e6
