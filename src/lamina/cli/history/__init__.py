"""`lamina history`: the records of builds."""
