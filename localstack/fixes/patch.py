"""The three ways in which a correction changes moto."""

import functools
import threading

from moto.core.responses import ActionResult


def around(owner, name):
    """Puts `function(original, self, ...)` around the method `name` of `owner`."""

    def decorate(function):
        original = getattr(owner, name)

        @functools.wraps(original)
        def replacement(self, *args, **kwargs):
            return function(original, self, *args, **kwargs)

        setattr(owner, name, replacement)
        return function

    return decorate


def define(owner, name=None):
    """Adds a method or a property to `owner`, or replaces it."""

    def decorate(member):
        setattr(owner, name or (member.fget if isinstance(member, property) else member).__name__, member)
        return member

    return decorate


def idempotent(response_class, token_name, actions, mismatch):
    """AWS answers a repeated create that carries the same token with the first one's answer, makes nothing new, and
    refuses a token that comes again with other parameters. `actions` says whether an action takes part, `mismatch`
    makes the refusal."""
    answers = {}
    lock = threading.RLock()

    @around(response_class, "call_action")
    def replay(original, self):
        token = self._get_param(token_name) if actions(self._get_action()) else None
        if not token:
            return original(self)
        key = (self.current_account, self.region, self._get_action(), token)
        parameters = repr(self._get_params())
        with lock:
            if key not in answers:
                answer = original(self)
                if answer[0] == 200:
                    answers[key] = (parameters, answer)
                return answer
            known, answer = answers[key]
        if known != parameters:
            return self.serialized(ActionResult(mismatch()))
        return answer


def paged(response_class, begins, size_name, token_name, next_name):
    """Bounds and continues the list in the answer of every action that `begins` so, where moto answers with all of it."""

    @around(response_class, "serialized")
    def page(original, self, action_result):
        result = action_result.result
        if not self._get_action().startswith(begins) or not isinstance(result, dict) or result.get(next_name):
            return original(self, action_result)
        size, start = self._get_param(size_name), self._get_param(token_name)
        lists = [name for name, value in result.items() if isinstance(value, (list, tuple)) and name != "failures"]
        if not (size or start) or len(lists) != 1 or not (start or "0").isdigit():
            return original(self, action_result)
        every, begin = list(result[lists[0]]), int(start or 0)
        end = begin + int(size or len(every))
        following = str(end) if end < len(every) else None
        return original(self, ActionResult({**result, lists[0]: every[begin:end], next_name: following}))
