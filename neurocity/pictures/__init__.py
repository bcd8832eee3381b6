"""From rendered light to encoded pictures: every output in every format, for commands and the gateway."""
