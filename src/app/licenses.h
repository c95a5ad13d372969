/*
 * The licences of this program and of what is linked into it. The text is made
 * at build time from the sources that were really built (vendor/notices).
 */
#ifndef APP_LICENSES_H
#define APP_LICENSES_H

extern const char licenses_text[];

#endif
