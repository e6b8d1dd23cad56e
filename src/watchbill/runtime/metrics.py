"""The hub's own metrics. docs/operating.md lists each; a test compares."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("watchbill_http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram("watchbill_http_request_seconds", "Time from a request's start to its answer.", ["route"])
LIVE = Gauge("watchbill_live_viewers", "Browsers that listen for live updates in this process.")
LEDGER_SIZE = Gauge("watchbill_ledger_entries", "Sealed ledger entries, all workspaces.")
LEDGER_UNSEALED = Gauge("watchbill_ledger_unsealed", "Ledger entries that wait for the sealer.")
FACTS_WAITING = Gauge("watchbill_fact_deliveries_waiting", "Deliveries of facts that are waiting.")
FACTS_FAILED = Gauge("watchbill_fact_deliveries_failed", "Deliveries of facts that failed for good.")
WORKER_AGE = Gauge("watchbill_worker_heartbeat_age_seconds", "Age of the newest worker heartbeat.")
OLDEST = Gauge(
    "watchbill_oldest_seconds", "How long the oldest thing of each kind has waited for the worker.", ["kind"]
)
WAITING = Gauge("watchbill_waiting", "How many things of each kind wait for the worker; 10,001 means more.", ["kind"])
QUARANTINED = Gauge("watchbill_quarantined_arrivals", "Arrivals that could not be taken in and can be replayed.")
JOBS = Gauge("watchbill_jobs", "Background jobs by status.", ["status"])
CAN_PAGE = Gauge(
    "watchbill_can_page", "Whether the last look found nothing that keeps a workspace from paging.", ["workspace"]
)
CAN_PAGE_REASONS = Gauge("watchbill_can_page_reasons", "Reasons against paging, by code.", ["workspace", "code"])
