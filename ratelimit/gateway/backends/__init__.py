"""The integrations of routes: a mock, a function, a backend, or several backends whose answers are joined."""
