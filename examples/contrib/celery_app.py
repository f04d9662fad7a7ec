import os
import time
from datetime import datetime

from celery import Celery

from ratelimit.contrib.celery import RateLimit

app = Celery("mails", broker="amqp://")
SENT = os.environ.get("SENT", "sent")


@app.task(bind=True)
@RateLimit("2/second", shared="example")
def send_mail(self, user):
    turn = self.request.eta and datetime.fromisoformat(self.request.eta).timestamp()
    with open(SENT, "a") as sent:
        sent.write(f"{user} {turn} {time.time()}\n")
