#!/bin/sh
# The customer's program: counts its starts on the volume, serves the volume, talks without end.
starts=$(($(cat /data/starts 2>/dev/null || echo 0) + 1))
echo $starts > /data/starts.new && sync && mv /data/starts.new /data/starts
httpd -p 8000 -h /data
number=0
while :; do
    number=$((number + 1))
    echo "line $starts $number"
    sleep 0.5
done
