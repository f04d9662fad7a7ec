-- Asks `ratelimit serve`, and sets txn.limited and the fields of the answer.
core.register_action("limit", {"http-req"}, function(txn, name)
    local client = core.httpclient()
    local answer = client:get{
        url = "http://127.0.0.1:9090/check/" .. name,
        headers = {["x-forwarded-for"] = {txn.sf:src()}},
        timeout = 1000,
    }
    txn:set_var("txn.limited", answer.status == 429)
    if answer.status == 429 then
        txn:set_var("txn.retry_after", answer.headers["retry-after"][0])
        txn:set_var("txn.ratelimit", answer.headers["ratelimit"][0])
    end
end, 1)
