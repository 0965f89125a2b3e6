"""What all HTTP ends share: problem documents and the check of origins."""
