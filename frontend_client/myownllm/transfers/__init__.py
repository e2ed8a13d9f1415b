"""What sending and receiving files is, without a file, a clock or a socket (spec 08 §9.5, 10 §2.5). Pure."""
