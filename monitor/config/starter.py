"""The example configuration that ``cliffwatch init`` writes."""

from typing import Final

_STARTER: Final = """\
# Configuration of Cliffwatch. Enter your own endpoint in the lines marked <--, then run: cliffwatch check
providers:
  mine:
    kind: openai                          # Chat Completions: OpenAI, vLLM, NIM, LiteLLM, ... ; or anthropic
    base_url: https://llm.example.com/v1  # <-- delete this line for the vendor's API
    api_key_env: LLM_API_KEY              # <-- the variable that contains the key; never put the key itself here
targets:
  support-bot:                            # <-- a name that you choose; a label of the metrics
    subject: {provider: mine, model: support-lora}                         # <-- the model that your users use
    base: {provider: mine, model: meta-llama/Llama-3.1-8B-Instruct}        # <-- the model under the fine-tune, if any
    suites: [format]                      # ships with Cliffwatch; put your own into probes/NAME.yaml
    budget: {requests_per_day: 2000}      # for probes, judge and retries; or in money: usd_per_day: 2.00

# Optional:
#
# judge: {provider: mine, model: some-strong-model}    # scores answers by their suite's rubric
#   add in its braces: anchors: probes/anchors.yaml    # answers with a person's verdict, to watch the judge too
# schedule: {probes: daily, production: weekly mon 06:00, timezone: Europe/Berlin}
# alarms: {false_pages_per_target_year: 0.1}           # maximum rate of false pages
# store: postgresql+psycopg://cliffwatch@db/cliffwatch # default: sqlite:///cliffwatch.db, next to this file
# http: {host: 127.0.0.1, port: 9464}                  # /metrics and the evidence pages
#
# In a target: sample 100 inputs per week from your request logs, one JSON object per line.
#     production: {source: {kind: jsonl, path: /var/log/llm/*.jsonl, messages: request.messages}, sample: 100}
"""


def starter_config() -> str:
    """Text of a commented ``cliffwatch.yaml``. It passes ``check`` once the variable of its key is set."""
    return _STARTER
