"""The JavaScript and CSS that both viewer pages share: the gateway's, and that of an exported web folder."""
