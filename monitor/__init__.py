"""Cliffwatch: tells a team that its LLM endpoint has drifted, before its users do."""
