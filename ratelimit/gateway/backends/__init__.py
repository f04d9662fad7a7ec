"""What a route leads to: a mock, a function, a backend, or several backends whose answers are joined."""
