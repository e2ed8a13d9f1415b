"""The rendezvous in the local network, without sockets: adverts, exchange lines, who is dialled (spec 03 §18). Pure."""
