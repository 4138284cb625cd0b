# SPDX-License-Identifier: BSD-3-Clause
#
# Make plugin/settings/models.c of the model files: the table of profiles, with
# the text of each.

BEGIN {
  print "/* Made of the model files by models.awk. */"
  print ""
  print "#include <config.h>"
  print ""
  print "#include \"settings/profile.h\""
  print ""
  print "const struct profile profile_table[] = {"
}

FNR == 1 {
  name = FILENAME
  sub (/.*\//, "", name)
  sub (/\.model$/, "", name)
  printf "%s  {\"%s\",\n", (NR > 1 ? "  },\n" : ""), name
}

{
  gsub (/[\\"]/, "\\\\&")
  printf "    \"%s\\n\"\n", $0
}

END {
  print "  },"
  print "};"
  print ""
  print "const size_t nr_profiles ="
  print "    sizeof profile_table / sizeof profile_table[0];"
}
