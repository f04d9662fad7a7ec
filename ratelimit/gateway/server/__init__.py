"""The command that serves: uvicorn, its workers and how they find each other."""
