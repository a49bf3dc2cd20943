"""Sessions: the files, secrets, SSH agents and credentials that clients provide to builds."""
