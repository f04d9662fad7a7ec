"""`ratelimit serve`: named limits for programs that are not Python, over HTTP and Envoy's rate limit service.

config       the file                    sources       where a request has its key and its cost
tables       limiters by their names     check         the decision of a limit, and its answer
head         the request as bytes
descriptors  Envoy's rules               answers       all other answers, as bytes
outcome      the decision by rules       protocol      HTTP on a connection
counts       metrics, over all workers   connections   all connections of a worker
site         file -> checks and rules    rls           gRPC
refused      an unreadable request       awaiting      decisions by an engine
worker, supervisor, command

The modules that each request over HTTP needs are compiled: head, check and protocol.
"""
