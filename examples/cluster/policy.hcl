# What a token of Lictor has to be allowed where ACLs deny by default, and no more.
agent_prefix ""   { policy = "read" }
node_prefix ""    { policy = "read" }
service_prefix "" { policy = "read" }   # a watch of type connect_leaf needs "write" for its service
key_prefix "app/" { policy = "read" }   # only for watches of keys
event_prefix ""   { policy = "read" }   # only for watches of user events
