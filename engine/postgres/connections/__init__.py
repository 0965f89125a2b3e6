"""How connections are opened, with which session settings; pools of them; and how dead ones are noticed."""
