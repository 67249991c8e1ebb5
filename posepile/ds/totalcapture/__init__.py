"""TotalCapture: joints by motion capture before eight cameras."""
