"""`ratelimit serve`: named limits for programs that are not Python, over HTTP and Envoy's rate limit service.

config       the file                    key, cost     where a request has them
tables       limiters by their names     check         the decision of one limit
head         the request as bytes        answers       the answer as bytes
descriptors  Envoy's rules               metrics       what was decided, over all workers
site         file -> checks and rules    protocol      HTTP on a connection
envoy        gRPC                        worker, supervisor, command
"""
