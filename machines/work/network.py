"""The steps that keep a machine's agent from starting where more can be reached than its network profile says."""

from guests import network
from guests.profiles import Profile
from machines import actions
from machines.work.context import Work
from operations.engine import Outcome, Step
from proxmox import errors


def close(work: Work) -> Outcome:
    """Set the profile, and have it proven: a clone has its source's firewall, and others may have changed ours."""
    machine = work.machine
    parent = actions.machine_of(machine.source)
    inherited = parent.network if parent else Profile.OPEN
    network.close(machine.guest, machine.network, inherited=inherited)
    return None


def close_again(work: Work) -> Outcome:
    """The same for a machine that has something to lose: it waits for an operator, with its guest closed or off."""
    try:
        return close(work)
    except errors.NotOurs:
        raise
    except errors.Refused as error:
        raise errors.Stuck(str(error)) from None


def await_force(work: Work) -> Outcome:
    return network.await_force(work.machine.guest, work.machine.network)


CLOSE: Step[Work] = Step("network", "Setting the network profile", close)
CLOSE_AGAIN: Step[Work] = CLOSE._replace(act=close_again)
IN_FORCE: Step[Work] = Step("firewall", "Waiting for the firewall to be in force", await_force)
