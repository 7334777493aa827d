"""Checks card payments, as one of any number of servers.

    fraud_server.py SERVICE

A request is a line of number,card,home,country,amount,hour; the reply says whether the payment is approved, and if not, why.
What is no payment is refused: the text of the exception goes to the client. Start as many of these as there are processors, and kill
any: the others go on.
"""

import sys

import ipcx

LIMIT = 2000.00
LIMIT_ABROAD = 500.00
LIMIT_AT_NIGHT = 800.00
STOLEN = {"4929-0013", "5301-0666"}
EMBARGO = {"XA", "XB"}


@ipcx.serve(sys.argv[1] if len(sys.argv) == 2 else "fraud", max_request=128, max_reply=128)
def check(request: bytes) -> bytes:
    """The verdict on a payment."""
    number, card, home, country, amount, hour = fields(request)
    reason = why_not(card, home, country, float(amount), int(hour))
    return f"{number} denied: {reason}".encode() if reason else f"{number} approved".encode()


def fields(request: bytes) -> list[str]:
    """The six of a payment."""
    found = request.decode().split(",")
    if len(found) != 6:
        raise ValueError(f"a payment has 6 fields, this has {len(found)}")
    return found


def why_not(card: str, home: str, country: str, amount: float, hour: int) -> str | None:
    """The first rule that a payment breaks."""
    if not 0 < amount < 1e9:
        raise ValueError(f"no amount: {amount}")
    if card in STOLEN:
        return "the card is reported stolen"
    if country in EMBARGO:
        return f"no payments to {country}"
    if amount > LIMIT:
        return f"over {LIMIT:.2f}"
    if country != home and amount > LIMIT_ABROAD:
        return f"over {LIMIT_ABROAD:.2f} abroad"
    if hour < 6 and amount > LIMIT_AT_NIGHT:
        return f"over {LIMIT_AT_NIGHT:.2f} at night"
    return None


if __name__ == "__main__":
    check.run()
