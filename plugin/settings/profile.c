/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (C) 2026 The nullblk authors
 *
 * The profiles; see profile.h.  Every number has its source beside it; those
 * of makers are in MB/s (10^6), ours in MiB/s (2^20).
 *
 * Sources:
 *
 * [HC310] Western Digital, Ultrastar DC HC310 OEM specification, revision 1.4,
 * 2018, section 4.5.1: average seek 7.4 ms to read and 8.2 ms to write, single
 * track 0.23 and 0.32 ms, 7200 rpm; data sheet: 255 MB/s sustained.  A seek
 * over a random distance takes, with the square root that seek: goes by, 8/15
 * of the way from `track` to `full`; `full` is what makes that the average.
 *
 * [S4500] Intel, SSD Data Center S4500 and S4600 Series product specification,
 * 2017: random 4 KiB, typical, 110 us to read and 52 us to write; 99.9 % within
 * 300 and 800 us; 72,000 and 33,000 operations and 500 and 490 MB/s.  SATA has
 * a queue of 32.
 *
 * [980] Samsung 980 PRO 1 TB, random 4 KiB reads at depth 1 with io_uring,
 * fio's percentiles in fig-1-samsung-baseline of the artifact to Ren et al.,
 * "BFQ, Multiqueue-Deadline, or Kyber?", ICPE 2024
 * (github.com/stonet-research/icpe24_io_scheduler_study_artifact); maker's data
 * sheet: 7,000 MB/s read, 5,000 MB/s written.
 *
 * [ZNS] Western Digital Ultrastar DC ZN540 ("zns-a") and a conventional NVMe
 * SSD ("nvme-a"), 4 KiB at depth 1 with SPDK: fio's percentiles in data/spdk of
 * the artifact to Doekemeijer et al., "Performance Characterization of NVMe
 * Flash Devices with Zoned Namespaces", IEEE CLUSTER 2023
 * (github.com/stonet-research/NVMeBenchmarks); 1,150 MiB/s is what writes of
 * 128 KiB to several zones reach there; data/custom/zns-a/partial_reset: the
 * median reset of a full zone takes 16.6 ms.  The same zone-latency stands for
 * all zone commands, though an open or close takes 11 us there and a finish up
 * to 908 ms.
 *
 * [SMR] Host-managed SMR disks have zones of 256 MiB, and 128 may be open, as
 * zonedstorage.io's example of a 14 TB disk shows; the mechanics are those of
 * [HC310], as both are of one family.
 *
 * [EBS] Amazon EBS user guide, volume types: gp3 has 3,000 operations a second
 * and 125 MiB/s, and latencies of "single-digit" milliseconds; io2 Block
 * Express under 500 us on average.  The shape between is a model: the median
 * of the better one, and 1 of 1000 requests at 10 ms or more.
 */

#include <config.h>

#include <string.h>

#include "profile.h"

#define HDD_READ "seek:track=230us,full=13674us,rpm=7200,mbps=243"
#define HDD_WRITE "seek:track=320us,full=15095us,rpm=7200,mbps=243"

static const struct profile profiles[] = {
    {"hdd",
     "7200 rpm disk: seek and rotation by distance, one thing at a time",
     {
         {"rotational", "true"}, /* [HC310], and all below */
         {"physical-block-size", "4K"},
         {"read-latency", HDD_READ},
         {"write-latency", HDD_WRITE},
         {"zero-latency", HDD_WRITE},
         {"lanes", "1"},
     }},
    {"sata-ssd",
     "SATA SSD for servers",
     {
         {"read-latency", "percentiles:p50=110us,p99.9=300us"}, /* [S4500] */
         {"write-latency", "percentiles:p50=52us,p99.9=800us"},
         {"zero-latency", "percentiles:p50=52us,p99.9=800us"},
         {"lanes", "32"},
         {"read-iops", "72000"},
         {"write-iops", "33000"},
         {"read-mbps", "476"},
         {"write-mbps", "467"},
     }},
    {"nvme",
     "NVMe SSD with flash, PCIe 4.0",
     {
         /* [980] */
         {"read-latency",
          "percentiles:p1=52992ns,p10=59136ns,p50=64256ns,p90=76288ns,"
          "p99=78336ns,p99.9=89600ns,p99.99=136192ns"},
         /* [ZNS], nvme-a, random writes */
         {"write-latency",
          "percentiles:p1=8768ns,p50=9024ns,p90=9664ns,p99=13376ns,"
          "p99.9=16192ns,p99.99=52992ns"},
         {"zero-latency",
          "percentiles:p1=8768ns,p50=9024ns,p90=9664ns,p99=13376ns,"
          "p99.9=16192ns,p99.99=52992ns"},
         {"read-mbps", "6675"}, /* [980] */
         {"write-mbps", "4768"},
     }},
    {"smr-hdd",
     "host-managed SMR disk: a disk of zones",
     {
         {"rotational", "true"}, /* [HC310] where not said otherwise */
         {"physical-block-size", "4K"},
         {"zoned", "true"}, /* [SMR] */
         {"zone-size", "256M"},
         {"zone-max-open", "128"},
         {"read-latency", HDD_READ},
         {"write-latency", HDD_WRITE},
         {"zero-latency", HDD_WRITE},
         {"lanes", "1"},
     }},
    {"zns-ssd",
     "NVMe SSD with zones",
     {
         {"zoned", "true"}, /* [ZNS], and all below */
         {"zone-size", "2G"},
         {"zone-capacity", "1077M"},
         {"zone-max-open", "14"},
         {"zone-max-active", "14"},
         {"read-latency",
          "percentiles:p1=67072ns,p20=68096ns,p60=69120ns,p70=80384ns,"
          "p99=81408ns,p99.9=82432ns,p99.99=129536ns"},
         {"write-latency",
          "percentiles:p1=10048ns,p50=10688ns,p90=11200ns,p99=13504ns,"
          "p99.9=15936ns,p99.99=40704ns"},
         {"zero-latency",
          "percentiles:p1=10048ns,p50=10688ns,p90=11200ns,p99=13504ns,"
          "p99.9=15936ns,p99.99=40704ns"},
         {"zone-latency", "16.6ms"},
         {"write-mbps", "1150"},
     }},
    {"cloud-disk",
     "network block storage of a cloud: capped, with a long tail",
     {
         {"read-latency", "percentiles:p50=500us,p99.9=10ms"}, /* [EBS] */
         {"write-latency", "percentiles:p50=500us,p99.9=10ms"},
         {"zero-latency", "percentiles:p50=500us,p99.9=10ms"},
         {"iops", "3000"},
         {"mbps", "125"},
     }},
};

#define NR_PROFILES (sizeof profiles / sizeof profiles[0])

const struct profile *
profile_find (const char *name)
{
  size_t i;

  for (i = 0; i < NR_PROFILES; i++) {
    if (strcmp (name, profiles[i].name) == 0)
      return &profiles[i];
  }
  return NULL;
}

const struct profile *
profile_at (size_t i)
{
  return i < NR_PROFILES ? &profiles[i] : NULL;
}
