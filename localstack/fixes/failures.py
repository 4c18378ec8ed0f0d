"""What moto cannot do is answered in the protocol of the call, as a client can read it."""

import json
import traceback
from html import escape


def answer(environ, start_response, problem):
    """An operation that moto lacks is 501 NotImplemented, which no client retries; a fault of moto is InternalFailure.
    (AWS has neither: both are gaps of the emulator. Plain moto answers with a page of HTML.)"""
    traceback.print_exception(problem)
    missing = isinstance(problem, NotImplementedError)
    code = "NotImplemented" if missing else "InternalFailure"
    status = "501 Not Implemented" if missing else "500 Internal Server Error"
    text = f"The emulator failed on this call: {problem!r}"
    kind = environ.get("CONTENT_TYPE", "")
    if "json" in kind:
        body, kind = json.dumps({"__type": code, "message": text}), "application/x-amz-json-1.1"
    elif "/ec2/" in environ.get("HTTP_AUTHORIZATION", ""):
        body, kind = f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(text)}</Message></Error></Errors></Response>", "text/xml"
    else:
        body, kind = f"<ErrorResponse><Error><Code>{code}</Code><Message>{escape(text)}</Message></Error></ErrorResponse>", "text/xml"
    payload = body.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(payload))), ("x-amzn-ErrorType", code)]
    start_response(status, headers)
    return [payload]


def readable(application):
    """Puts `answer` around the application."""

    def serve(environ, start_response):
        try:
            return application(environ, start_response)
        except Exception as problem:  # every fault of moto, whatever it is, is told to the client
            return answer(environ, start_response, problem)

    return serve
