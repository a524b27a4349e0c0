"""What is kept out of the log: the keys of wall screens, which are part of their addresses."""

import logging
import re

KEY = re.compile(r"(/wall/)[\w-]+")


class WithoutKeys(logging.Filter):
    """Django names the address of a request that failed. Lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(KEY.sub(r"\1…", one) if isinstance(one, str) else one for one in record.args)
        record.msg = KEY.sub(r"\1…", record.msg) if isinstance(record.msg, str) else record.msg
        return True
