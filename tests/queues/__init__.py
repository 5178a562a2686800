"""Tasks that worker processes of a queue run: Celery, Django's tasks framework, RQ."""
