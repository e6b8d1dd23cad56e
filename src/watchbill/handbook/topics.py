"""Which rows of the product's map act on a line, by the words that the map itself uses. No name of anybody's product.

A topic is looked for only where one of its anchors stands in the lower-case text, and anchors only where their first word
begins as one of the text's words does: a line costs one set operation.
"""

import re
from functools import lru_cache

_TOPICS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("S2", ("triage", "alert history"), r"triag\w* .{0,30}errors?|errors? triage|match\w* .{0,40}alert history|reconcil"),
    ("S3", ("synthetic", "uptime", "endpoint"), r"synthetic (?:test|monitor|check)s?(?!.*\bset up)|\buptime\b"),
    ("S4", ("cost", "win-rate", "win rate", "rate-limit", "revenue", "transactions", "guardrail"), r"cost (?:per|monitoring|vs|against|telemetry)|win[- ]rate|rate-limit baseline|guardrail triggers|transactions.*users|revenue"),
    ("S5", ("structured log", "log sink", "log field"), r"structured logs?\b|log sink|log field"),
    ("S6", ("dashboard", "board", "queue depth", "amber", "banner", "stale", "overview"), r"grafana|dashboards? (?:for|`|\w+ tracks)|tracks? .*latency|queue depth|amber banner|ttl\b.*cach|stay green|remain green|overview to inspect|charts"),
    ("I2", ("expert", "escalation polic", "roster"), r"domain experts?|subject[- ]matter experts?|contact roster|escalation polic"),
    ("I4", ("severity",), r"severity (?:classif|level)|classify .*severity"),
    ("I5", ("war-room", "war room", "commander", "announce in", "scribe", "timeline", "smoke", "cross-post", "bridge"), r"war[- ]room|incident commander|announce in #?\w+|communications? lead|capture timelines?,|confirm recovery|smoke test checklist|cross-post|post (?:a )?summary"),
    ("I6", ("post-mortem", "postmortem", "post-incident", "blameless", "incident-<", "incident report"), r"post-?mortems?|post-incident (?:review|report)s?|incident-<|remediation steps in"),
    ("I7", ("mtta", "mttr", "mtbf", "incident metrics", "mean time"), r"\bmtt[ar]\b|\bmtbf\b|incident metrics|mean time"),
    ("I8", ("alert banner", "status page"), r"alert banner|status page|announcement banner"),
    ("I1", ("on-call schedule", "rotates"), r"on-call schedule|on-call rotation|rotates"),
    ("I9", ("regulator",), r"regulatory notification|report\w* to (?:the )?(?:regulator|authorit)|breach notification"),
    ("D3", ("release-controls", "overnight jobs"), r"release-controls|overnight jobs"),
    ("D4", ("digest", "operations meeting", "weekly review"), r"digest (?:job|to)|daily digest|weekly (?:operations )?(?:meeting|review pack)"),
    ("D5", ("status banner", "digest job"), r"status banner|digest job"),
    ("A1", ("safe action",), r"safe actions?\b"),
    ("A2", ("destructive", "approval queue", "confirmation"), r"destructive actions? require|approval queue|flag \+ confirmation|typed confirmation"),
    ("A4", ("kill-switch", "kill switch", "safe_mode", "safe mode"), r"kill[- ]switch|safe[_ ]mode"),
    ("A5", ("destructive", "anomaly"), r"\d+ destructive actions|anomaly on unusual|unusual patterns"),
    ("A6", ("_<slug>", "module"), r"\w+_<\w+>|vendor module|feature flags? for (?:new )?modules?"),
    ("A7", ("finance",), r"\bfinance\b.*(?:require|feature|liaison|role)|finance liaison"),
    ("A8", ("self-healing", "auto-remediat"), r"self-healing|auto-?remediat"),
    ("A9", ("communication module", "bounce", "campaign", "mail queue"), r"communications? modules?|bounce|campaign|mail queue"),
    ("C1", ("change calendar", "freeze", "maintenance window"), r"change calendar|freeze window|maintenance window"),
    ("C2", ("release branch", "release candidate", "migration", "ci/cd", "staging", "preview", "lighthouse"), r"release (?:branch|candidate)|rc tag|schema changes|migration hash|ci/cd|github actions artifacts|deploy to staging|preview .{1,3}production|preview →|regression"),
    ("C3", ("canary", "rollout", "red metrics", "blue-green", "blue/green"), r"canary|complete rollout|red metrics|blue[-/]green"),
    ("C4", ("rollback", "revert", "previous environment", "last known good", "redeploy", "roll back", "smoke tests"), r"rollback|roll back|revert|previous (?:environment|git|deploy)|last known good|redeploy"),
    ("C5", ("feature flag", "config flags", "toggle", "feature-flags", "disable new features"), r"feature[- ]flags?|config flags?|to toggle|disable new features"),
    ("C6", ("patch", "updates", "upgrade", "database maintenance"), r"apply (?:os|dependency|security) (?:patches|updates)|(?:os|security) patch|dependency updates|database maintenance|infrastructure updates|major upgrades|plan and execute upgrades"),
    ("O1", ("error budget", "performance baseline", "slo"), r"error budget|performance baseline|burn rate"),
    ("O4", ("red metrics", "coverage", "refusal"), r"red metrics|sla coverage|refusal"),
    ("E1", ("audit log", "audit feed", "audit table", "rls", "row-level"), r"sample audit log|audit feed|enforces (?:rls|row)|events continue to flow"),
    ("E2", ("evidence", "manifest", "artefacts"), r"evidence|archive manifest|append new"),
    ("E3", ("traceability", "control"), r"traceability|control/coverage|control matrix"),
    ("E4", ("audit", "compliance training", "training", "compliance report", "compliance exception", "remediation"), r"(?:internal|external) (?:compliance )?audits?|audit (?:findings|reports?)|compliance (?:training|reports?|reporting|exceptions?)|generate compliance|(?:incident response|security awareness) training"),
    ("E5", ("retention", "purge"), r"retention task|purge schedules|per compliance retention|compliance retention"),
    ("E6", ("decisions", "signator", "sign-off", "phase"), r"signator|sign-?off|decisions\.md|\bprevious phase\b"),
    ("E7", ("back up", "export"), r"(?:back up|export)\b.*audit.*\b(?:to|into)\b"),
    ("E8", ("regulatory",), r"regulatory (?:updates?|changes?|change management)|policy packs"),
    ("B1", ("backup",), r"perform regular backups"),
    ("B2", ("restore", "drill", "restoration", "backup integrity", "dr drills"), r"restore (?:drill|procedures|test)|restoration testing|dr drills?|backup integrity|pitr"),
    ("B3", ("disaster", "dr plan", "dr drill", "off-site", "backup compliance", "continuity"), r"disaster recovery (?:documentation|plan)|dr (?:plans?|drill reports?)|backup compliance|off-site backup|business continuity"),
    ("B4", ("configuration backup",), r"configuration backup|hub(?:'s)? own backup"),
    ("X1", ("mfa", "groups", "multi-factor", "sso"), r"\bmfa\b|multi-factor|belong to .{0,20}groups"),
    ("X2", ("access review",), r"access reviews?"),
    ("X3", ("vulnerabilit", "zap", "dependency scan", "scans"), r"vulnerabilit(?:y|ies)|zap scan|dependency scan"),
    ("X4", ("policy denial", "failed login", "security alerts", "siem", "anomaly detection"), r"policy denials|failed logins|security alerts|\bsiem\b"),
    ("X5", ("pii", "sensitive attribute", "personal data"), r"\bpii\b|masks? sensitive|mask\w* personal"),
    ("X6", ("threat drill", "tabletop"), r"threat drill|tabletop"),
    ("X7", ("temporary access token", "access tokens", "awareness training"), r"rotate (?:temporary )?(?:access )?tokens|awareness training"),
    ("X8", ("rls policy", "access logs", "row-level"), r"rls policy|row-level[- ]security polic|access logs"),
    ("X9", ("security metrics", "security monitoring dashboard", "security assessment"), r"security (?:metrics|monitoring dashboard|assessments?)"),
    ("G1", ("data subject", "personal data", "erasure", "dsar", "gdpr"), r"data[- ]subject|erasure|dsar|gdpr"),
    ("T1", ("tickets",), r"tickets, chat|user support \("),
    ("T2", ("satisfaction", "csat", "nps", "knowledge base", "user feedback", "common issues", "support metrics"), r"satisfaction|\bcsat\b|\bnps\b|knowledge base|user feedback|identify common issues|support metrics"),
    ("M1", ("kaizen", "backlog", "improvement", "quick link"), r"kaizen|backlog (?:items|grooming)|improvement (?:backlog|metrics)|quick links?|issue link"),
    ("M2", ("root cause",), r"analy[sz]e incidents and root causes|repeat incidents|noisy alerts"),
    ("H4", ("template",), r"(?:incident|post-mortem|postmortem|maintenance|ticket)[\w -]* template|template stored"),
    ("H7", ("common issue", "troubleshoot"), r"common issue diagnosis"),
)  # fmt: skip
_WORD = re.compile(r"[a-z]+")


def _by_word() -> dict[str, list[tuple[int, str, str, re.Pattern[str]]]]:
    """Topics by the first four letters of their anchors' first words."""
    found: dict[str, list[tuple[int, str, str, re.Pattern[str]]]] = {}
    for number, (key, anchors, pattern) in enumerate(_TOPICS):
        compiled = re.compile(pattern)
        for anchor in anchors:
            word = _WORD.search(anchor)
            if word:
                found.setdefault(word[0][:4], []).append((number, key, anchor, compiled))
    return found


_BY_WORD = _by_word()


@lru_cache(maxsize=8192)
def topics(text: str) -> tuple[str, ...]:
    """Ids of the map's rows that a line speaks of, in the order of the list above."""
    low = text.lower()
    found: dict[int, str] = {}
    for word in {word[:4] for word in _WORD.findall(low)} & _BY_WORD.keys():
        for number, key, anchor, pattern in _BY_WORD[word]:
            if number not in found and anchor in low and pattern.search(low):
                found[number] = key
    return tuple(found[number] for number in sorted(found))
