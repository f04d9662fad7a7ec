"""The functions of the example gateway."""

import json


def pet(event, context):
    """One pet."""
    return {"id": event["pathParameters"]["id"], "name": "Rex"}


async def order(event):
    """Take an order."""
    return {"statusCode": 201, "body": json.dumps({"ordered": json.loads(event["body"] or "{}")})}


def say(event):
    """Answer a message."""
    return {"statusCode": 200, "body": json.loads(event["body"])["text"].upper()}
