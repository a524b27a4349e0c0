"""What keeps everything moving: the hub process. (Hubs as machines, leases and experiments come to live here.)"""
