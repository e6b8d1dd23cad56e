"""On-call schedules."""
