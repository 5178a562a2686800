"""What goes over the wire: messages, errors, revisions, sealed tokens, event framing.

This room knows no call: it reads and writes bytes, and says what the specification says of them."""
