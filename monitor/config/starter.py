"""What ``cliffwatch init`` writes: a configuration that a newcomer makes theirs in a minute."""

from typing import Final

_STARTER: Final = """\
# Cliffwatch: what to watch, and how. Put your own endpoint into the lines marked <--, then: cliffwatch check
providers:
  mine:
    kind: openai                          # Chat Completions: OpenAI, vLLM, NIM, LiteLLM, ... ; or anthropic
    base_url: https://llm.example.com/v1  # <-- delete the line for the vendor's own API
    api_key_env: LLM_API_KEY              # <-- the variable that holds the key; the key itself never stands here
targets:
  support-bot:                            # <-- a name of yours: it labels the metrics
    subject: {provider: mine, model: support-lora}                         # <-- what your users talk to
    base: {provider: mine, model: meta-llama/Llama-3.1-8B-Instruct}        # <-- the model under the fine-tune, if any
    suites: [format]                      # ships with Cliffwatch; yours go into probes/NAME.yaml beside this file
    budget: {requests_per_day: 2000}      # probes, judge and retries together; in money: usd_per_day: 2.00

# Further, all optional:
#
# judge: {provider: mine, model: some-strong-model}    # scores answers by their suite's rubric
#   and in its braces, anchors: probes/anchors.yaml    # answers with a person's verdict: so the judge is watched too
# schedule: {probes: daily, production: weekly mon 06:00, timezone: Europe/Berlin}
# alarms: {false_pages_per_target_year: 0.1}           # how often a page may be nothing
# store: postgresql+psycopg://cliffwatch@db/cliffwatch # else sqlite:///cliffwatch.db, beside this file
# http: {host: 127.0.0.1, port: 9464}                  # /metrics and the evidence pages
#
# Under a target: 100 inputs a week from your request logs, one JSON object a line.
#     production: {source: {kind: jsonl, path: /var/log/llm/*.jsonl, messages: request.messages}, sample: 100}
"""


def starter_config() -> str:
    """The text of a commented ``cliffwatch.yaml``; it passes ``check`` once its key's variable is set."""
    return _STARTER
