"""The cloud: connections, faults and the board; the only packages that know openstacksdk are this and `backends`."""
