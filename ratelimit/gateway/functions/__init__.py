"""Functions as AWS Lambda calls them: their events, their context, and what they return."""
