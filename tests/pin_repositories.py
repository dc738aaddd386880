"""Small repositories for ``cliffwatch pins``: twenty that are pinned, twenty with one name that floats."""

import json
from pathlib import Path
from typing import Any, NamedTuple

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"
DIGEST = "sha256:" + "4f" * 32
Files = dict[str, str]


class Case(NamedTuple):
    """A repository with one name that floats: where, which rule, what to write instead."""

    files: Files
    file: str
    line: int
    rule: str
    instead: str


def notebook(*cells: str) -> str:
    """A notebook as Jupyter saves it."""
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "source": cell.splitlines(keepends=True), "metadata": {}, "outputs": []} for cell in cells
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


PINNED: dict[str, Files] = {
    "inference-service": {
        "serve.py": f"""\
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import PeftModel

REVISION = "{COMMIT}"
base = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.1-8B-Instruct", revision=REVISION)
tokenizer = AutoTokenizer.from_pretrained("meta-llama/Llama-3.1-8B-Instruct", revision="{COMMIT}")
model = PeftModel.from_pretrained(base, "./adapters/support")
""",
        "requirements.txt": "transformers==5.23.0\npeft==0.21.2  # newer ones rename keys\nfastapi>=0.100\ntorch>=2\n",
        "Dockerfile": f'FROM python:3.12@{DIGEST}\nRUN pip install -r requirements.txt\nCMD ["python", "serve.py"]\n',
    },
    "chat-client": {
        "bot.py": """\
from openai import OpenAI

client = OpenAI()
# gpt-4o was better here, but the alias moves
answer = client.chat.completions.create(model="gpt-4o-2024-08-06", messages=[])
claude = {"model": "claude-sonnet-4-6", "max_tokens": 10}
""",
        "README.md": 'We use `gpt-4o` through `model="gpt-4o"` and `vllm/vllm-openai:latest`.\n',
    },
    "from-configuration": {
        "app.py": """\
import os
from transformers import AutoModel, pipeline

name = os.environ["MODEL"]
model = AutoModel.from_pretrained(name)
other = AutoModel.from_pretrained("org/model", revision=os.environ["REVISION"])
options = {"revision": "x"}
third = AutoModel.from_pretrained("org/model", **options)
ask = pipeline("text-generation", model=name)
""",
        ".env.example": "OPENAI_MODEL=gpt-4.1-mini-2025-04-14\nMODEL_PATH=/models/llama\n",
    },
    "local-folders": {
        "train.py": """\
from datasets import load_dataset
from transformers import AutoModel

AutoModel.from_pretrained("checkpoints/last")
AutoModel.from_pretrained("/models/llama")
AutoModel.from_pretrained("out/merged")
load_dataset("json", data_files="data/train.jsonl")
AutoModel.from_pretrained("org/model", local_files_only=True)
""",
        "out/merged/config.json": "{}",
    },
    "prices": {
        "prices.py": """\
PRICES = {"gpt-4o": 2.5, "gpt-4o-mini": 0.15, "claude-sonnet-4-5": 3.0}
KNOWN = ["gpt-4o", "o1", "mistral-large-latest"]

def is_old(model: str) -> bool:
    return model == "gpt-4o" or model.startswith("gpt-4")
""",
    },
    "tests-only": {
        "tests/test_client.py": 'def test_it(client):\n    assert client.create(model="gpt-4o")\n',
        "pkg/test_more.py": "from transformers import AutoModel\nAutoModel.from_pretrained('org/x')\n",
        "conftest.py": "MODEL = 'gpt-4o'\n",
    },
    "compose": {
        "compose.yaml": f"""\
services:
  llm:
    image: vllm/vllm-openai:v0.31.0@{DIGEST}
    command: ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--revision", "{COMMIT}", "--served-model-name", "gpt-4o"]
  db:
    image: postgres:17
  cache:
    image: redis:latest
""",
    },
    "kubernetes": {
        "k8s/deployment.yaml": f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: llm, labels: {{version: latest, model: car}}}}
spec:
  template:
    spec:
      containers:
        - name: server
          image: ghcr.io/acme/vllm@{DIGEST}
          args: [--model=/models/llama, --max-model-len=4096]
          env:
            - {{name: OPENAI_MODEL, value: gpt-4o-mini-2024-07-18}}
            - name: MODEL
              valueFrom: {{configMapKeyRef: {{name: llm, key: model}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: llm}}
""",
    },
    "helm": {
        "chart/values.yaml": f"""\
image:
  repository: vllm/vllm-openai
  tag: v0.31.0
  digest: {DIGEST}
web:
  image: {{repository: nginx, tag: "1.27"}}
""",
        "chart/templates/deployment.yaml": """\
{{- if .Values.enabled }}
kind: Deployment
spec:
  image: "{{ .Values.image.repository }}@{{ .Values.image.digest }}"
  {{- with .Values.args }}
  args: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
""",
    },
    "terraform": {
        "main.tf": f"""\
# image = "vllm/vllm-openai:latest"
variable "model" {{
  default = "gpt-4o-2024-08-06"
}}
resource "aws_sagemaker_model" "llm" {{
  primary_container {{
    image = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/djl-serving@{DIGEST}"
    environment = {{
      HF_MODEL_ID       = "meta-llama/Llama-3.1-8B-Instruct"
      HF_MODEL_REVISION = "{COMMIT}"
    }}
  }}
  container_image = "${{var.repository}}:${{var.tag}}"
}}
""",
    },
    "locked-with-uv": {
        "pyproject.toml": '[project]\nname = "x"\ndependencies = ["transformers>=5", "peft", "fastapi>=0.1"]\n',
        "uv.lock": '[[package]]\nname = "transformers"\nversion = "5"\n[[package]]\nname = "peft"\nversion = "1"\n',
    },
    "pip-tools": {
        "requirements.in": "transformers>=5\nvllm\n",
        "requirements.txt": "transformers==5.23.0 \\\n    --hash=sha256:aa\nvllm==0.31.0\n",
    },
    "constraints": {
        "requirements.txt": "transformers\naccelerate>=1\n",
        "constraints.txt": "transformers==5.23.0\naccelerate==1.9.0\n",
    },
    "poetry": {
        "pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.12"\ntransformers = "5.23.0"\nhttpx = "^0.28"\n',
    },
    "notebooks": {
        "explore.ipynb": notebook(
            "%pip install transformers==5.23.0 pandas\n!ls models\n",
            f"from transformers import pipeline\nask = pipeline('summarize', model='org/m', revision='{COMMIT}')\n",
            "%%bash\npip install transformers\n",
        ),
    },
    "other-words": {
        "shop.py": """\
class Car:
    def __init__(self, model: str = "T") -> None:
        self.model = model


def pipeline(name: str, model: str) -> str:
    return name + model


def load_dataset(path: str) -> str:
    return path


pipeline("paint", model="red/blue")
load_dataset("left/right")
Car(model="o1")
Engine = Car
Engine("v8/turbo")
""",
        "catalogue.yaml": "cars:\n  - {model: o3, revision: main, image: car.png}\n  - {model: latest}\n",
    },
    "workflow": {
        ".github/workflows/ci.yml": """\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    container: {image: "node:20"}
    steps:
      - uses: actions/checkout@v4
      - run: |
          pip install transformers==5.23.0 'pytest>=8'
          python evaluate.py --model gpt-4o-2024-08-06
""",
    },
    "web-frontend": {
        "Dockerfile": "FROM node:22 AS build\nRUN npm ci\nFROM nginx:1.27\nCOPY --from=build /app /usr/share/nginx\n",
        "package.json": '{"dependencies": {"openai": "latest"}}',
    },
    "results": {
        "report.py": """\
import os

rows = [{"model": "gpt-4o", "score": 0.9}, {"model": "o1", "score": 0.8}]
print("gpt-4o", rows)
counter = encoding_for_model("gpt-4o")
where = os.path.join("meta-llama", "Llama-3.1-8B")
""",
        "mkdocs.yml": "theme: material\nextensions:\n  - emoji: !!python/name:material.twemoji\n",
        "template.yaml": "Resources:\n  X: !Ref Y\n  Z: !Sub '${A}-b'\n",
        ".vscode/settings.json": '{"a": 1, // comment\n "b"}',
    },
    "from-source": {
        "requirements.txt": f"""\
transformers[torch]==5.1.0
vllm @ git+https://github.com/vllm-project/vllm@{COMMIT}
peft @ https://example.com/peft-0.21.2-py3-none-any.whl
-e .
my-transformers>=1
""",
        "Makefile": "install:\n\tpip install -r requirements.txt\n\tdocker run postgres:17\n",
    },
    "vendored": {
        "vendor/lib.py": "MODEL = 'gpt-4o'\n",
        "node_modules/x/config.yaml": "model: gpt-4o\n",
        ".venv/pyvenv.cfg": "home = /usr\n",
        ".venv/lib/site.py": "MODEL = 'gpt-4o'\n",
        ".git/hooks/run.sh": "pip install transformers\n",
        "docs/conf.py": "MODEL = 'gpt-4o'\n",
    },
    "gateway": {
        "litellm.yaml": """\
model_list:
  - model_name: support
    litellm_params: {model: openai/gpt-4o-2024-08-06, api_base: "https://api.openai.com/v1"}
  - model_name: gpt-4o-2024-08-06
    litellm_params: {model: hosted_vllm/support-lora}
""",
        "start.sh": "# pip install vllm\nexec litellm --config litellm.yaml\n",
        "adapter/adapter_config.json": json.dumps(
            {"base_model_name_or_path": "org/base", "revision": COMMIT, "r": 8}, indent=2
        ),
    },
}

FLOATING: dict[str, Case] = {
    "client-alias": Case(
        {"bot.py": "from openai import OpenAI\nOpenAI().responses.create(\n    model='gpt-4o-mini',\n)\n"},
        "bot.py",
        3,
        "model-alias",
        "gpt-4o-mini-2024-07-18",
    ),
    "default-argument": Case(
        {"judge.py": "def judge(text: str, model: str = 'claude-sonnet-4-5') -> float: ...\n"},
        "judge.py",
        1,
        "model-alias",
        "claude-sonnet-4-5-20250929",
    ),
    "environment-default": Case(
        {"app.py": "import os\nname = os.getenv('OPENAI_MODEL', 'gpt-4.1')\n"},
        "app.py",
        2,
        "model-alias",
        "gpt-4.1-2025-04-14",
    ),
    "latest": Case(
        {"settings.yaml": "answers:\n  retries: 2\n  model: mistral-large-latest\n"},
        "settings.yaml",
        3,
        "model-alias",
        "mistral-large-2512",
    ),
    "settings-default": Case(
        {"settings.py": "class S:\n    judge_model: str = Field('gpt-4.1-mini', min_length=1)\n"},
        "settings.py",
        2,
        "model-alias",
        "gpt-4.1-mini-2025-04-14",
    ),
    "payload": Case(
        {"ask.py": "import requests\n\nrequests.post('x', json={'model': 'gpt-4o-mini', 'messages': []})\n"},
        "ask.py",
        3,
        "model-alias",
        "gpt-4o-mini-2024-07-18",
    ),
    "kserve": Case(
        {"isvc.yaml": "spec:\n  predictor:\n    model:\n      storageUri: hf://org/base\n"},
        "isvc.yaml",
        4,
        "hub-revision",
        "org/base/commits",
    ),
    "no-revision": Case(
        {"load.py": "from transformers import AutoModel\n\nNAME = 'org/base'\nm = AutoModel.from_pretrained(NAME)\n"},
        "load.py",
        4,
        "hub-revision",
        "https://huggingface.co/org/base/commits",
    ),
    "revision-main": Case(
        {"load.py": "from huggingface_hub import snapshot_download\nsnapshot_download('org/base', revision='main')\n"},
        "load.py",
        2,
        "hub-revision",
        "org/base/commits",
    ),
    "adapter-on-the-hub": Case(
        {"load.py": "from peft import PeftModel\n\ndef load(base):\n    PeftModel.from_pretrained(base, 'a/lora')\n"},
        "load.py",
        4,
        "hub-revision",
        "a/lora/commits",
    ),
    "vllm-in-python": Case(
        {"serve.py": "from vllm import LLM\nllm = LLM(model='org/base', dtype='bfloat16')\n"},
        "serve.py",
        2,
        "hub-revision",
        "org/base/commits",
    ),
    "data-set": Case(
        {"data.py": "import datasets\n\nrows = datasets.load_dataset('org/pairs', split='train')\n"},
        "data.py",
        3,
        "hub-revision",
        "org/pairs/commits",
    ),
    "requirements": Case(
        {"requirements.txt": "fastapi==0.165.0\ntransformers>=5.20  # for the new cache\n"},
        "requirements.txt",
        2,
        "library-version",
        "transformers==VERSION",
    ),
    "pyproject": Case(
        {"pyproject.toml": '[project]\nname = "x"\ndependencies = [\n  "httpx",\n  "peft~=0.21",\n]\n'},
        "pyproject.toml",
        5,
        "library-version",
        "peft==VERSION",
    ),
    "dockerfile-from": Case(
        {"Dockerfile": "FROM vllm/vllm-openai:v0.31.0\nCOPY adapters /adapters\n"},
        "Dockerfile",
        1,
        "image-tag",
        "vllm/vllm-openai:v0.31.0@sha256:",
    ),
    "dockerfile-pip": Case(
        {"Dockerfile": f"FROM python:3.12@{DIGEST}\nRUN apt-get update && \\\n    pip install --no-cache-dir vllm\n"},
        "Dockerfile",
        3,
        "library-version",
        "vllm==VERSION",
    ),
    "compose-revision": Case(
        {
            "docker-compose.yml": f"""\
services:
  llm:
    image: vllm/vllm-openai@{DIGEST}
    command:
      - --model
      - org/base
      - --max-model-len=4096
""",
        },
        "docker-compose.yml",
        6,
        "hub-revision",
        "org/base/commits",
    ),
    "kubernetes-image": Case(
        {
            "deploy.yaml": """\
kind: ConfigMap
metadata: {name: x}
---
kind: Deployment
spec:
  containers:
    - name: llm
      image: lmsysorg/sglang:latest
""",
        },
        "deploy.yaml",
        8,
        "image-tag",
        "lmsysorg/sglang:latest@sha256:",
    ),
    "helm-values": Case(
        {"values.yaml": 'replicas: 1\nimage:\n  repository: ghcr.io/acme/support-llm\n  tag: "1.4"\n'},
        "values.yaml",
        4,
        "image-tag",
        "ghcr.io/acme/support-llm:1.4@sha256:",
    ),
    "terraform-model": Case(
        {"main.tf": 'resource "x" "y" {\n  environment = {\n    HF_MODEL_ID = "org/base"\n    SIZE = "1"\n  }\n}\n'},
        "main.tf",
        3,
        "hub-revision",
        "org/base/commits",
    ),
    "notebook": Case(
        {
            "demo.ipynb": notebook(
                "import os\n",
                "from anthropic import Anthropic\nAnthropic().messages.create(model='claude-haiku-4-5')\n",
            )
        },
        "demo.ipynb",
        15,
        "model-alias",
        "claude-haiku-4-5-20251001",
    ),
    "workflow-download": Case(
        {".github/workflows/ci.yaml": "jobs:\n x:\n  steps:\n   - run: |\n      ls\n      hf download org/base\n"},
        ".github/workflows/ci.yaml",
        6,
        "hub-revision",
        "org/base/commits",
    ),
    "start-script": Case(
        {"start.sh": "set -e\nvllm serve org/base \\\n  --enable-lora --revision v2\n"},
        "start.sh",
        2,
        "hub-revision",
        "org/base/commits",
    ),
}
