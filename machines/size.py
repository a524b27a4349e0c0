"""How large a machine's guest is."""

CORES, MEMORY_MIB = 2, 2048
